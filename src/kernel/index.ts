export { bootCall, bootCallSite, bootPreamble, CALL_SITE_CHECK, CALL_SITE_SIZE, compiledCallSite, compiledPreamble } from './cfi.ts';
