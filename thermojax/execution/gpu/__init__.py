"""What a GPU needs: a block of steps as one kernel, a path a thread, and its derivative."""
