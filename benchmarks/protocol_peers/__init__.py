"""Other libraries on the same problems, each a script that needs nothing of thermojax.

A script reads a JSON list of cases from standard input, and writes `{"version": ..., "cases":
{name: {"values": {paths: [...]}, "seconds": per training step}}}` to standard output. It runs in
the Python that has the library.
"""
