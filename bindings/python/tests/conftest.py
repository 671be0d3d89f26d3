"""All tests: a hang or a crash says where (faulthandler), and hypothesis needs no database."""

import hypothesis

hypothesis.settings.register_profile("ecru", database=None, deadline=None)
hypothesis.settings.load_profile("ecru")
