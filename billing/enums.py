from django.db import models


class TransferKind(models.TextChoices):
    TASK = "task"  # exactly one for each usage event, also when its amount is 0
