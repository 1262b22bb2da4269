"""Compression inside other people's programs: small adapters over `headroom.library`, each for one package.

An adapter never fails a request: what cannot be compressed goes out as it is, and a log line says why.
"""
