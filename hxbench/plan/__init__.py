"""Pure, seeded: profile, workload, arrival schedules, catalogue."""
