/**
 * All tests, compiled. Processes rather than worker threads, so that a crash in the addon names its
 * test file and the other files finish. The time limit is the one of the slowest tests, those that
 * boot guests; `make unit` and `make test` give the fast ones less.
 */
export default {
  files: ['dist/test/**/*.test.js'],
  workerThreads: false,
  timeout: '15m',
};
