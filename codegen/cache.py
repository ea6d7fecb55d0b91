"""stub"""
import hashlib
def key(t): return hashlib.sha256(t.encode()).hexdigest()[:32]
def load(k, suffixes): return None
def store(k, files, meta): return None
