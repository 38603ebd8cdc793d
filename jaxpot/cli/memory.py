"""How much memory this process has taken."""

import sys

try:
    import resource
except ImportError:  # Windows has none
    resource = None


def peak_memory():
    """The most memory that was resident at once, bytes; None where the system does not say."""
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
