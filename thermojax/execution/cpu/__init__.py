"""Blocks on a CPU: tiles, memory order, and loops that XLA's CPU backend is fast at."""
