"""One run: its folder, its progress, its checkpoints, and the same run continued."""
