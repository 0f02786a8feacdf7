"""The live page of `thermojax demo`: driven systems in motion, beside the laws that they obey.

Everything that moves is simulated by thermojax and streamed; the page only draws. One module for
each picture (`oscillators`, `erasure`, `inference`), and around them the server.
"""
