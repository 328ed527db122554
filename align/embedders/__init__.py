"""Adapters of the networks that describe a face; each is imported when it is asked for."""
