"""Blocks on a GPU: one kernel each, a path a thread, and its derivative."""
