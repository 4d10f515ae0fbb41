// A page that can be read instead of a canvas that no longer answers.

export function broken(reason) {
  if (typeof document === 'undefined') {
    return;
  }
  const panel = document.getElementById('broken');
  if (!panel || !panel.hidden) {
    return;
  }
  document.getElementById('loading')?.remove();
  document.getElementById('app').hidden = true;
  document.getElementById('reason').textContent = String(reason);
  panel.hidden = false;
}
