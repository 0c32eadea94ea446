import pytest

from inference.domain.admission import admit
from inference.domain.records import NO_LIMIT
from inference.domain.refusals import PolicyFailed, Rejected
from rbee_policy.codes import REJECTION_CODES
from tests.acceptance.core import scripts as business_case
from tests.inference.domain.scripts import TENANT, Scripts, customer, task

ADMIT = "fn should_admit(task, customer) { admit() }"


def rejection(scripts: Scripts, *, of_task: dict[str, object] | None = None, **fields: object) -> Rejected:
    with pytest.raises(Rejected) as caught:
        admit(scripts, TENANT, task(**(of_task or {})), customer(**fields))
    return caught.value


@pytest.mark.parametrize(
    "fields",
    [{"tokens_used_today": 100}, {"tokens_used_today": 10**12, "daily_limit": NO_LIMIT}, {"tier": "free"}],
)
def test_quota_script_admits_within_the_limit_and_without_one(fields: dict[str, object]) -> None:
    admit(Scripts(business_case.QUOTA), TENANT, task(), customer(**fields))


def test_quota_script_beyond_the_limit_is_a_429_that_is_not_retried() -> None:
    refusal = rejection(Scripts(business_case.QUOTA), tokens_used_today=101)

    assert (refusal.status, refusal.type, refusal.code) == (429, "insufficient_quota", "quota_exceeded")
    assert refusal.message == "Quota exceeded"
    assert refusal.headers == {"x-should-retry": "false"}


def test_quota_script_keeps_the_large_model_for_enterprise() -> None:
    large = {"model": "llama-3-405b"}
    refusal = rejection(Scripts(business_case.QUOTA), of_task=large, tier="pro")

    assert (refusal.status, refusal.type, refusal.code) == (403, "permission_error", "policy_rejected")
    assert refusal.message == "Upgrade to enterprise"
    admit(Scripts(business_case.QUOTA), TENANT, task(**large), customer(tier="enterprise"))


@pytest.mark.parametrize("code", REJECTION_CODES)
def test_rejection_takes_the_status_of_its_code(code: str) -> None:
    refusal = rejection(Scripts(f'fn should_admit(task, customer) {{ reject("Because", "{code}") }}'))

    assert (refusal.status, refusal.type) == REJECTION_CODES[code]
    assert (refusal.code, refusal.message) == (code, "Because")
    assert ("retry-after" in refusal.headers) == (
        code in {"rate_limit_exceeded", "no_workers", "model_loading"}
    )


@pytest.mark.parametrize(
    "script", ["fn should_admit(task, customer) {}", "fn route_task(task, workers) { none }", ADMIT]
)
def test_no_opinion_admits(script: str) -> None:
    admit(Scripts(script), TENANT, task(), customer())


def test_tenant_is_asked_after_the_operator_and_cannot_overrule() -> None:
    no = 'fn should_admit(task, customer) { reject("The operator says no") }'
    tenant_no = 'fn should_admit(task, customer) { reject("The tenant says no") }'

    assert rejection(Scripts(no, ADMIT)).message == "The operator says no"
    assert rejection(Scripts(no, tenant_no)).message == "The operator says no"
    assert rejection(Scripts(ADMIT, tenant_no)).message == "The tenant says no"


@pytest.mark.parametrize(
    "body",
    [
        "true",
        "false",
        "1",
        "none",
        "task",
        "[customer][0].tire",
        "throw 1",
        "loop {}",
        'reject("no", "wh" + "at")',
    ],
)
def test_script_that_breaks_refuses(body: str) -> None:
    with pytest.raises(PolicyFailed) as caught:
        admit(Scripts(f"fn should_admit(task, customer) {{ {body} }}"), TENANT, task(), customer())

    assert (caught.value.status, caught.value.code) == (500, "policy_error")


def test_log_names_line_and_column_and_the_nearest_field(caplog: pytest.LogCaptureFixture) -> None:
    script = "fn should_admit(task, customer) {\n    [customer][0].tire == 1\n}"

    with pytest.raises(PolicyFailed):
        admit(Scripts(script), TENANT, task(), customer())

    assert "line 2, column" in caplog.text
    assert "did you mean 'tier'" in caplog.text
