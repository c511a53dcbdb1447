"""What configuration means: validation across objects, secrets into the vault, schedules kept in step."""
