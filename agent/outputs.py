"""Names under which steps hand their outputs on."""

FILE = "file:"  # prefix of outputs that are files of the pull request; the rest is the path
DIFF = "diff.patch"
PULL_REQUEST = "pull-request.json"
CHECKS = "checks.json"
