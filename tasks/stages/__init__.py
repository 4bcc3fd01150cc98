"""One module per stage of dvc.yaml, same name: files in, files out."""

import os

# Idle threads sleep instead of spinning: on a machine that others use too, spinning made training steps four
# times as expensive; on a quiet one sleeping costs some 6 %. Read when torch is imported, which comes later.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
