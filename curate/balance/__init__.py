"""Balance the classes of the training part by how often an epoch shows each row: 0 = capped out, 2 = twice.

Nothing is copied and nothing is deleted; the numbers stand in the manifest's `repeat`. Only rows of the training part
belong here: balanced before the split, copies of one face would be tested that were trained on, and a balanced
validation or test part would no longer have the mix of classes that a model meets.
"""

from .choice import Looks
from .classes import repeats, table
from .counts import targets
from .units import UnitBalance, balance_units, unit_table

__all__ = ["Looks", "UnitBalance", "balance_units", "repeats", "table", "targets", "unit_table"]
