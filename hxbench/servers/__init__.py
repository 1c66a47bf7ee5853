"""Servers that hxbench starts itself."""
