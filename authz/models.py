"""Who holds what: roles, tokens, teams, shares, reviews, policies; tuples, made from rows."""

from typing import ClassVar

from django.db import models

from authz.roles import Role
from tenants.models import Project, TenantScoped, User


class Grant(TenantScoped):
    """One role of one account, for one project or (project empty) for the whole tenant."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="grants")
    role = models.CharField(max_length=20, choices=[(role.value, role.title) for role in Role])
    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, related_name="grants")
    # admin, operator, demo, system, emergency; directory and sso: from groups (authz.groups)
    source = models.CharField(max_length=20, default="admin")
    expires_at = models.DateTimeField(null=True)  # counts for nothing from then on
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "user", "role", "project", "source"],
                name="authz_grant_once",
                nulls_distinct=False,
            ),
        ]


class GroupRole(TenantScoped):
    """A role that members of a group of the customer's directory hold.

    group: its name, as SCIM (displayName) or the groups claim of a sign-in says it.
    """

    group = models.CharField(max_length=255)
    role = models.CharField(max_length=20, choices=[(role.value, role.title) for role in Role])
    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["group", "role"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "group", "role", "project"],
                name="authz_grouprole_once",
                nulls_distinct=False,
            ),
        ]


class ApiToken(TenantScoped):
    """A secret with which a program acts as an account, within the scopes it was made with.

    Only its digest is kept; the secret has 256 random bits, so a fast hash is enough.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64)  # SHA-256, hex
    hint = models.CharField(max_length=12)  # its first characters
    scopes = models.JSONField()  # permissions, sorted
    made_by = models.CharField(max_length=100)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)  # to the minute
    revoked_at = models.DateTimeField(null=True)

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["-created_at"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(fields=["tenant", "digest"], name="authz_apitoken_digest"),
        ]

    def __str__(self) -> str:
        return self.name


class Emergency(TenantScoped):
    """Break-glass: an operator of the platform asks to come in for a while, and why."""

    class State(models.TextChoices):
        REQUESTED = "requested"
        APPROVED = "approved"
        REFUSED = "refused"
        ENDED = "ended"

    operator = models.CharField(max_length=200)  # who asks, as the operator's machine says
    operator_email = models.EmailField()
    reason = models.TextField()
    minutes = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=9, choices=State, default=State.REQUESTED)
    requester_id = models.CharField(max_length=254)  # who cannot approve it
    requested_at = models.DateTimeField(auto_now_add=True)
    decided_by = models.CharField(max_length=200, blank=True)
    decided_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    user = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["-requested_at"]


class PolicyVersion(TenantScoped):
    """One text of the tenant's own rules, which never changes, from its proposal on.

    At most one is active. It holds until another is approved, or the one it replaced is restored.
    """

    class State(models.TextChoices):
        PROPOSED = "proposed"
        ACTIVE = "active"
        RETIRED = "retired"
        REFUSED = "refused"

    number = models.PositiveIntegerField()  # 1, 2, 3 as they were proposed
    text = models.TextField(blank=True)
    digest = models.CharField(max_length=64)  # SHA-256 of the text, hex
    state = models.CharField(max_length=8, choices=State, default=State.PROPOSED)
    note = models.CharField(max_length=500)  # what changes, and why
    # What was active when it was proposed, and what it replaces; empty: no rules.
    replaces = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="+")
    requester_id = models.CharField(max_length=100)  # who cannot approve it
    requester_name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
    decided_by = models.CharField(max_length=100, blank=True)
    decided_by_name = models.CharField(max_length=200, blank=True)
    decided_at = models.DateTimeField(null=True)
    activated_at = models.DateTimeField(null=True)
    retired_at = models.DateTimeField(null=True)
    restored = models.BooleanField(default=False)  # came back when its successor was taken back

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT", "UPDATE")

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["-number"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(fields=["tenant", "number"], name="authz_policyversion_number"),
            models.UniqueConstraint(
                fields=["tenant"],
                condition=models.Q(state="active"),
                name="authz_policyversion_one_active",
            ),
        ]

    def __str__(self) -> str:
        return f"version {self.number}"


class Team(TenantScoped):
    """People who are given access together; a team may contain others."""

    slug = models.SlugField(max_length=60)
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["name"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(fields=["tenant", "slug"], name="authz_team_slug"),
        ]

    def __str__(self) -> str:
        return self.name


class TeamMember(TenantScoped):
    """An account in a team, or a team in a team."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="+")
    nested = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.CheckConstraint(
                condition=models.Q(user=None) ^ models.Q(nested=None),
                name="authz_teammember_either",
            ),
            models.UniqueConstraint(
                fields=["tenant", "team", "user", "nested"],
                name="authz_teammember_once",
                nulls_distinct=False,
            ),
        ]


class Share(TenantScoped):
    """One project or task that a person or a team may look at, besides those whose role says so."""

    class ObjectType(models.TextChoices):
        PROJECT = "project"
        TASK = "task"

    object_type = models.CharField(max_length=20, choices=ObjectType)
    object_id = models.UUIDField()
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="+")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, related_name="shares")
    shared_by = models.CharField(max_length=200)
    expires_at = models.DateTimeField(null=True)  # counts for nothing from then on
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.CheckConstraint(
                condition=models.Q(user=None) ^ models.Q(team=None), name="authz_share_either"
            ),
            models.UniqueConstraint(
                fields=["tenant", "object_type", "object_id", "user", "team"],
                name="authz_share_once",
                nulls_distinct=False,
            ),
        ]


class AccessReview(TenantScoped):
    """One look at everything that is held in the tenant, from its start to its end.

    Due: a quarter has passed, and nobody has started it yet.
    """

    class State(models.TextChoices):
        DUE = "due"
        OPEN = "open"
        CLOSED = "closed"

    number = models.PositiveIntegerField()  # 1, 2, 3
    state = models.CharField(max_length=6, choices=State)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    started_by = models.CharField(max_length=100, blank=True)
    started_by_name = models.CharField(max_length=200, blank=True)
    due_at = models.DateTimeField(null=True)
    revision = models.CharField(max_length=60, blank=True)  # of the tuples, at the start
    closed_at = models.DateTimeField(null=True)
    closed_by = models.CharField(max_length=100, blank=True)
    closed_by_name = models.CharField(max_length=200, blank=True)
    note = models.CharField(max_length=500, blank=True)

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT", "UPDATE")

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["-number"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(fields=["tenant", "number"], name="authz_accessreview_number"),
            models.UniqueConstraint(
                fields=["tenant"],
                condition=~models.Q(state="closed"),
                name="authz_accessreview_one_open",
            ),
        ]

    def __str__(self) -> str:
        return f"review {self.number}"


class AccessReviewItem(TenantScoped):
    """One role, share or team membership that somebody has to confirm or end.

    What it says is kept as it was at the start, for the row itself may go.
    """

    class Kind(models.TextChoices):
        ROLE = "role"
        SHARE = "share"
        MEMBERSHIP = "membership"

    class Answer(models.TextChoices):
        WAITING = "waiting"
        CONFIRMED = "confirmed"
        ENDED = "ended"
        REPORTED = "reported"  # should end, and only the directory can do it
        GONE = "gone"  # ended by itself before anybody answered

    review = models.ForeignKey(AccessReview, on_delete=models.CASCADE, related_name="items")
    kind = models.CharField(max_length=10, choices=Kind)
    row_id = models.UUIDField()  # of the grant, share or membership
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="+")
    team_id = models.UUIDField(null=True)  # whose it is, where it is a team's
    holder = models.CharField(max_length=220, blank=True)  # that team's name
    role = models.CharField(max_length=20, blank=True)
    what = models.CharField(max_length=300)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, related_name="+")
    source = models.CharField(max_length=220)
    given_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    reviewer = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="+")
    answer = models.CharField(max_length=9, choices=Answer, default=Answer.WAITING)
    reason = models.CharField(max_length=500, blank=True)
    answered_by = models.CharField(max_length=100, blank=True)
    answered_by_name = models.CharField(max_length=200, blank=True)
    answered_at = models.DateTimeField(null=True)

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT", "UPDATE")

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "review", "row_id"], name="authz_accessreviewitem_once"
            ),
        ]

    def __str__(self) -> str:
        return self.what


class _TupleColumns(models.Model):
    """object_type:object_id#relation@subject_type:subject_id#subject_relation, of authz.model.

    source_id: the row that it follows from. Compared byte by byte, whatever the database's
    language: these are names of the program's.
    """

    object_type = models.CharField(max_length=20, db_collation="C")
    object_id = models.UUIDField()
    relation = models.CharField(max_length=20, db_collation="C")
    subject_type = models.CharField(max_length=20, db_collation="C")
    subject_id = models.UUIDField()
    subject_relation = models.CharField(max_length=20, db_collation="C", blank=True)
    source_id = models.UUIDField()
    expires_at = models.DateTimeField(null=True)  # counts for nothing from then on

    class Meta:
        abstract = True


class Tuple(_TupleColumns, TenantScoped):
    """That somebody or something stands in a relation to an object, because a row says so.

    Triggers write it: authz.tuples. Nothing refers to a tuple, so it needs no pair to refer to.
    """

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT", "DELETE")

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # From an object to its subjects. Two rows may say the same: a role by hand, by group.
            models.UniqueConstraint(
                fields=[
                    "tenant",
                    "object_id",
                    "object_type",
                    "relation",
                    "subject_id",
                    "subject_type",
                    "subject_relation",
                    "source_id",
                ],
                include=["expires_at"],
                name="authz_tuple_forward",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=[
                    "tenant",
                    "subject_id",
                    "object_type",
                    "relation",
                    "subject_type",
                    "subject_relation",
                ],
                # Not in the key: PostgreSQL would skip through it to find an object's subjects.
                include=["object_id", "expires_at"],
                name="authz_tuple_reverse",
            ),
        ]


class TupleLog(_TupleColumns, TenantScoped):
    """Every tuple that came or went, under the revision that it came or went with."""

    revision = models.BigIntegerField()
    place = models.IntegerField()  # in the order of the transaction's statements
    added = models.BooleanField()
    at = models.DateTimeField()

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT")

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["tenant", "revision", "place"], name="authz_tuplelog_place"
            ),
        ]


class Revision(TenantScoped):
    """How often a tenant's tuples have changed; one row a tenant, none before the first tuple.

    Its id is made anew when they are made anew, so that nobody takes one 57 for another.
    """

    number = models.BigIntegerField()

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT", "UPDATE")

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(fields=["tenant"], name="authz_revision_one"),
        ]


class OutsideEngine(TenantScoped):
    """A server for relations beside the database, and how far a tenant's tuples have got there."""

    class Engine(models.TextChoices):
        SPICEDB = "spicedb"
        OPENFGA = "openfga"

    class Mode(models.TextChoices):
        SHADOW = "shadow"  # is fed and compared, decides nothing
        DECIDING = "deciding"

    engine = models.CharField(max_length=10, choices=Engine)
    mode = models.CharField(max_length=8, choices=Mode)
    store = models.CharField(max_length=100, blank=True)  # authz.outside.Place
    # Which state of the tuples is there: Revision's id and number. None: nothing yet.
    epoch = models.UUIDField(null=True)
    number = models.BigIntegerField(default=0)
    token = models.TextField(blank=True)  # the server's own name for that state
    # When the first of the tuples there expires, which the server knows nothing of.
    next_end = models.DateTimeField(null=True)

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(fields=["tenant"], name="authz_outsideengine_one"),
        ]


class LogDestination(TenantScoped):
    """Where a tenant's ledger is copied to, and how far the copy has got."""

    class Kind(models.TextChoices):
        FILE = "file"
        HEC = "hec"
        SYSLOG = "syslog"

    kind = models.CharField(max_length=10, choices=Kind)
    name = models.CharField(max_length=100)
    address = models.CharField(max_length=500, blank=True)  # URL; host:port; none for a file
    secret = models.TextField(blank=True)  # sealed; HEC's token
    trusted = models.TextField(blank=True)  # certificates in PEM besides those of the machine
    created_at = models.DateTimeField(auto_now_add=True)
    # What the exporter writes. next_index: of the entry that it sends next.
    next_index = models.BigIntegerField(default=0)
    checkpoint_size = models.BigIntegerField(default=0)  # of the last checkpoint that was sent
    checkpoint_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    tried_at = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(default=0)  # in a row
    problem = models.TextField(blank=True)  # of the last try

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["created_at"]
