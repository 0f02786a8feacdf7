"""The studies that the files in `configs/` name; each short."""
