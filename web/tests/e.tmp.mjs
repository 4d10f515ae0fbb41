import { readFileSync } from 'node:fs';
const { blank, serve } = await import('./browser.mjs');
import { chromium } from 'playwright-core';
import { mkdtempSync } from 'node:fs';
const server = await serve();
const profile = mkdtempSync('/tmp/prof-');
const context = await chromium.launchPersistentContext(profile, { executablePath:'/usr/bin/chromium', args:['--headless=new','--no-sandbox','--disable-features=WebGPU','--no-first-run',...(process.env.FLAGS?process.env.FLAGS.split(' '):[])], });
const chrome={context};
const texts = readFileSync('/tmp/w31/t2000.jsonl','utf8').split('\n').slice(0,500).join('\n')+'\n';
const page = await blank({chrome, server});
const said = await page.evaluate(async ({texts}) => {
  const { default: init, run, put } = await import('./api.js');
  await init();
  await put('/speed/t.jsonl', texts);
  await run({ command: 'write-sample-models', out: '/speed' });
  const times=[];
  for (let i=0;i<4;i++){ const b=performance.now();
  await run({command:'encode', encoder:{folder:'/speed/encoder',head:null}, texts:'/speed/t.jsonl', role:'passage', form:'s', top_k:8, device:'cpu'}); times.push(performance.now()-b);}
  return times;
}, {texts});
console.log(said);
await context.close(); server.close();
