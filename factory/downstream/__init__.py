"""MIDSTREAM ONLY blocks and the downstream build context."""
