"""Names under which steps hand their outputs on."""

FILE = "file:"  # prefix of outputs that are files of the pull request; the rest is the path
DIFF = "diff.patch"
PULL_REQUEST = "pull-request.json"
CHECKS = "checks.json"
TEXT = "pull-request-text.json"  # title and body that open_pr takes when it is told none
WRITTEN_TESTS = "written-tests.json"  # path -> text of the test that was asked for
PATCHED = "patched-files.json"  # path -> text, after every patch that stands
PATCH = "patch.json"  # the patches that stand, with their reasons
REPAIR = "repair.json"
PROOF = "red-green.json"
EXPLANATION = "explanation.json"
CHARACTER = "characterisation.json"  # calls of a function as they were recorded
CHANGE = "change.json"  # what an upgrade or a refactoring did, for its description
FETCHED = "packages.json"  # wheels that were fetched for the task, with their digests
TESTS = "tests:"  # prefix of what test runs reported; the rest is their purpose
JUNIT = ".junit.xml"  # suffix of test results of the patched tree; before it is their purpose
LOG = "log:"  # prefix of what tools printed; the rest is the number of the step
SARIF = "sast.sarif"
SECRETS = "secrets.json"
LICENCES = "licences.json"
SBOM = "sbom.cdx.json"
