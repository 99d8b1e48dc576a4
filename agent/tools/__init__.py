"""The table of tools: what each takes and gives, which permission it needs."""

from agent.tools import recommending
from agent.tools.characterising import CHARACTERISE
from agent.tools.contract import BadArguments, Bench, Cost, Observation, Tool
from agent.tools.describing import WRITE_CHANGE
from agent.tools.fetching import FETCH_PACKAGES
from agent.tools.patching import CODE_PATCH
from agent.tools.proving import WRITE_PROOF, WRITE_TEST
from agent.tools.publishing import OPEN_PR, VERIFY
from agent.tools.refactoring import REFACTOR_CODE
from agent.tools.repairing import PROPOSE_REPAIR
from agent.tools.scanning import SAST_SCAN, SECRET_SCAN
from agent.tools.searching import CODE_SEARCH
from agent.tools.supplying import LICENSE_CHECK, SBOM_GENERATE
from agent.tools.testing import RUN_TESTS
from agent.tools.upgrading import BUMP_DEPENDENCY

TOOLS: dict[str, Tool] = {
    **recommending.TOOLS,
    "code_search": CODE_SEARCH,
    "code_patch": CODE_PATCH,
    "run_tests": RUN_TESTS,
    "propose_repair": PROPOSE_REPAIR,
    "sast_scan": SAST_SCAN,
    "secret_scan": SECRET_SCAN,
    "sbom_generate": SBOM_GENERATE,
    "license_check": LICENSE_CHECK,
    "write_test": WRITE_TEST,
    "write_proof": WRITE_PROOF,
    "fetch_packages": FETCH_PACKAGES,
    "bump_dependency": BUMP_DEPENDENCY,
    "characterise": CHARACTERISE,
    "refactor_code": REFACTOR_CODE,
    "write_change": WRITE_CHANGE,
    "open_pr": OPEN_PR,
    "verify_pull_request": VERIFY,
}

__all__ = ["TOOLS", "BadArguments", "Bench", "Cost", "Observation", "Tool"]
