"""S60: no packet of a denied flow passes, and none of an allowed one is lost, while rules change."""
