"""What ci/bench consists of: the cases and targets, building the peers, sampling, and the reports."""
