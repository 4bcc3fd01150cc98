"""One process with Triton's interpreter for all modules that need it; they stay on one worker for it."""

import pytest

from tests.models.affinity.fast import no_gpu


@pytest.fixture(scope="session")
def interpreted(request):
    """What went wrong in the interpreter, by module and check, for the modules that are tested now."""
    users = [item for item in request.session.items if "interpreted" in getattr(item, "fixturenames", ())]
    return no_gpu.interpret(sorted({item.module.__name__ for item in users}))
