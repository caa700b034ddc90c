"""What holds for all tests: nothing depends on how quick the machine is."""

from hypothesis import settings

settings.register_profile("samebits", deadline=None)
settings.load_profile("samebits")
