"""Imports everything that a command of `hpo` uses, for a process that others are copied from."""

from tests.campaign.forked import import_everything

import_everything()
