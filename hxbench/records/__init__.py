"""Schemas, journal and run directory: what was measured, as files."""
