"""How hypothesis runs here: no test fails for being slow, since the machine may be busy."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "factory", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("factory")
