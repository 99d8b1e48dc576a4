import time
from tenants.scope import tenant_scope
def test_big(entra, acme):
    from tests.bench.directory import _fill
    from authz import groups
    from authz.roles import Role
    from tenants.models import DirectoryGroup, DirectoryMember, DirectoryPerson
    by=acme.people["tomas"].actor("page")
    with tenant_scope(acme.scope):
        _fill(10000)
        g=DirectoryGroup.objects.create(display_name="All",display_name_key="all",resource={"displayName":"All","schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"]})
        ids=list(DirectoryPerson.objects.values_list("pk",flat=True))
        DirectoryMember.objects.bulk_create([DirectoryMember(group=g,person_id=i) for i in ids[:-8]],batch_size=1000)
    def t(name,f):
        s=time.perf_counter(); r=f(); print(name, round((time.perf_counter()-s)*1e3), "ms", getattr(r,"status_code",""),flush=True)
    add=lambda i: {"op":"Add","path":"members","value":[{"value":str(i)}]}
    try:
      with tenant_scope(acme.scope):
        t("map 10,000", lambda: groups.map_group("All",[Role.AUDITOR],project=None,by=by))
    except Exception as e: print(type(e), str(e)[:1500])
    t("add one, mapped", lambda: entra.patch(f"/Groups/{g.pk}", add(ids[-3])))
    t("delete mapped", lambda: entra.ask("DELETE",f"/Groups/{g.pk}"))
