"""Benchmarks: several ways to make the same change, on documents of several shapes. Linux only.

``python -m benchmarks`` (or ``make bench``) runs them all and prints its tables.
"""
