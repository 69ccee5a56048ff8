"""The ladder of attention: the same computation written in many ways, proved equal first and timed then.

This package needs torch and nothing else that is not Python's own, so that it runs on a bare machine with a GPU.
"""
