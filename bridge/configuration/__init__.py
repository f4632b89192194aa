"""How a TOML file and the environment become `bridge.settings.Settings`."""
