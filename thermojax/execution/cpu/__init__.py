"""What a CPU needs: tiles, memory order, and loops that XLA's CPU backend is fast at."""
