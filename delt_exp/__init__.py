"""Which training data, in which order, makes a better language model?"""

import os

# Threads that wait for each other sleep instead of spinning: a spinning thread takes the core that the one it waits for
# needs, as soon as anything else runs on the machine. OpenMP reads this when torch is loaded, so it stands here, before
# any import, and every process that this one starts inherits it. What the user has set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("KMP_BLOCKTIME", "0")  # Intel's OpenMP has a word of its own for it
