"""Journals: where events wait until every sink has settled them."""
