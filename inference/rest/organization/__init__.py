"""OpenAI's administration surface, `/v1/organization/…`, over the same domain functions as `/api/v1`.

An organization is a tenant: the caller's own, or for the operator the one whose slug `OpenAI-Organization` names. What
has no counterpart here is refused by name, never ignored.

    project                 project
    user of it              member of the tenant: members are in all of its projects
    role owner, reader      owner and admin; the others. Who is given owner becomes admin, who is given reader developer
    service account         key: each is an account of its own
    admin API key           key with the scope manage
"""
