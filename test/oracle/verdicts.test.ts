import { describe, expect, it } from 'vitest';
import { compareLogs } from '../../src/oracle/check_verdicts.ts';

describe('comparison of verifier logs', () => {
  const kernel =
    'func#0 @0\n0: R1=ctx() R10=fp0\n0: (95) exit\nR0 !read_ok\nverification time 25 usec\nstack depth 0\n';

  it('leaves out how long it took', () => {
    expect(compareLogs('p', kernel.replace('25 usec', '9 usec'), kernel).status).toBe('passed');
  });

  it('names the first line that differs, with its neighbours', () => {
    const outcome = compareLogs('p', kernel.replace('R1=ctx()', 'R1=scalar()'), kernel);
    expect(outcome).toMatchObject({
      status: 'failed',
      at: 'line 2 of 5',
      want: '0: R1=ctx() R10=fp0',
      got: '0: R1=scalar() R10=fp0',
    });
    expect(outcome.listing![1]).toMatch(/^\| 0: R1=ctx\(\) R10=fp0 +0: R1=scalar\(\) R10=fp0$/);
  });

  it('a log that ends early differs where it ends', () => {
    expect(compareLogs('p', 'func#0 @0\n', kernel)).toMatchObject({ status: 'failed', got: '(end)' });
  });
});
