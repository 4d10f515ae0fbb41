import init, { Retriever } from './api.js';

const state = document.getElementById('state');
const passages = [
  { id: 'bridge', title: 'The bridge', text: 'The bridge was built by Talia Vensten in 1912. It has six arches.' },
  { id: 'mill', title: 'The mill', text: 'The mill by the river grinds the corn of nine villages.' },
  { id: 'school', title: 'The school', text: 'The school teaches music. It was founded in 1850.' },
];

async function search(retriever, question) {
  const hits = await retriever.search(question, { k: 3, explain: true });
  const items = hits.map((hit) => {
    const item = document.createElement('li');
    const tokens = hit.explain.slice(0, 4).map(({ token, product }) => `${token} ${product.toFixed(2)}`);
    item.textContent = `${hit.title}: ${hit.text} (${hit.score.toFixed(2)}: ${tokens.join(', ')})`;
    item.dataset.id = hit.id;
    return item;
  });
  document.getElementById('hits').replaceChildren(...items);
}

try {
  const { device } = await init();
  const retriever = await Retriever.load({ encoder: 'sample', name: 'example' });
  const { passages: count } = await retriever.index(passages);
  state.textContent = `${count} passages; computes: ${device}`;
  const question = document.getElementById('question');
  await search(retriever, question.value);
  document.getElementById('ask').addEventListener('submit', (event) => {
    event.preventDefault();
    search(retriever, question.value).catch((error) => {
      state.textContent = error.message;
    });
  });
} catch (error) {
  state.textContent = error.message;
}
