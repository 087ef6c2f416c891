"""What everything that speaks HTTP shares: origins, and whom credentials may be sent to."""
