"""What operators look at while the bridge runs: health, metrics, the status page."""
