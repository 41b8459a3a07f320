import datetime
NEVER = datetime.date(9999, 1, 1)
