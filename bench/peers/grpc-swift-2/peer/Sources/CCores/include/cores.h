#pragma once

/* The cores that this process may run on: what event loops and Swift's pool of threads share. */
int cores_count(void);

/* Keeps only so many of them. To be called before the process has a second thread. */
void cores_limit(int count);
