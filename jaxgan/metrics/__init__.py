"""Metrics: functions of samples or features, never of models. A metric's name carries its protocol."""
