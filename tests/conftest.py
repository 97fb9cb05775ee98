"""What all tests share: one thread each.

The networks and arrays of the tests are too small to gain from a second core, and threads of several test
processes wait for each other. It has to be said before the first of the numerical libraries is loaded, and holds
for the processes that tests start, too.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
