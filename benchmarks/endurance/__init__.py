"""Hours of audio, cuts, kills, nonsense, full disks, clocks that jump, a Redis that goes away: what is lost."""
