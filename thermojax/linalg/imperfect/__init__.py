"""Devices as they are built: components, converters, meters, and the error they leave."""
