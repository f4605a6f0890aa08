def normalised(email: str) -> str:
    return email.strip().lower()
