"use strict";(()=>{var k=class extends Error{constructor(n,i=0,r,o=n){super(o);this.code=n;this.status=i;Object.assign(this,r)}code;status};k.prototype.name="SplitpinError";var Zt=2e4;async function _e(e,t,n,i,r){let o=new AbortController,l=setTimeout(()=>o.abort(),Zt),d=0,p,a;try{let m=await(e.fetch??fetch)(e.base+n,{method:t,headers:{...i&&{"Content-Type":"application/json"},...r},body:i?JSON.stringify(i):null,cache:"no-store",credentials:"same-origin",referrerPolicy:"no-referrer",redirect:"error",signal:o.signal});d=m.status,p=Number(m.headers.get("Retry-After"))||void 0;let h=await m.text();a=h?JSON.parse(h):void 0}catch(m){throw new k(d?"unavailable":"offline",d,{retryAfter:p,cause:m})}finally{clearTimeout(l)}if(d<300)return a;let u=(m,h)=>typeof h===m?h:void 0;throw new k(u("string",a==null?void 0:a.code)||(d<500?"internal":"unavailable"),d,{requestId:u("string",a==null?void 0:a.request_id),retryAfter:u("number",a==null?void 0:a.retry_after)??p,triesLeft:u("number",a==null?void 0:a.tries_left),field:u("string",a==null?void 0:a.field),challenge:u("string",a==null?void 0:a.challenge)},u("string",a==null?void 0:a.detail))}var Je=new Uint32Array(64),Ze=new Uint32Array(8);(()=>{let e=0;for(let n=2;e<64;n++){let i=!0;for(let r=2;r*r<=n;r++)n%r===0&&(i=!1);i&&(e<8&&(Ze[e]=t(Math.sqrt(n))),Je[e++]=t(Math.cbrt(n)))}function t(n){return(n-Math.floor(n))*4294967296}})();var B=new Uint32Array(64);function je(e,t,n){for(let m=0;m<16;m++)B[m]=t.getUint32(n+4*m);for(let m=16;m<64;m++){let h=B[m-15],v=B[m-2],ze=(h>>>7|h<<25)^(h>>>18|h<<14)^h>>>3,xe=(v>>>17|v<<15)^(v>>>19|v<<13)^v>>>10;B[m]=B[m-16]+ze+B[m-7]+xe}let i=e[0],r=e[1],o=e[2],l=e[3],d=e[4],p=e[5],a=e[6],u=e[7];for(let m=0;m<64;m++){let h=(d>>>6|d<<26)^(d>>>11|d<<21)^(d>>>25|d<<7),v=u+h+(d&p^~d&a)+Je[m]+B[m]|0,xe=((i>>>2|i<<30)^(i>>>13|i<<19)^(i>>>22|i<<10))+(i&r^i&o^r&o)|0;u=a,a=p,p=d,d=l+v|0,l=o,o=r,r=i,i=v+xe|0}e[0]+=i,e[1]+=r,e[2]+=o,e[3]+=l,e[4]+=d,e[5]+=p,e[6]+=a,e[7]+=u}function Yt(e){let t=e.length&-64,n=Ze.slice(),i=new Uint8Array(Math.max(t,192)),r=new DataView(i.buffer),o=(a,u)=>{for(let m=0;m<a.length;m++)i[u+m]=a.charCodeAt(m)};o(e.slice(0,t),0);for(let a=0;a<t;a+=64)je(n,r,a);let l=e.length-t,d=new Uint32Array(8),p=-1;return a=>{let u=l+a.length,m=u+72&-64;a.length!==p&&(i.fill(0),o(e.slice(t),0),i[u]=128,r.setUint32(m-4,(t+u)*8),p=a.length),o(a,l),d.set(n);for(let h=0;h<m;h+=64)je(d,r,h);return d}}function Qt(e){let t=0;for(let n of e){if(n!==0)return t+Math.clz32(n);t+=32}return t}var Xt=26;async function Ye(e,t){var r;let n=Number(((r=/^(\d{1,2})\.[\w-]+$/.exec(e))==null?void 0:r[1])??NaN);if(!(n>=0&&n<=Xt))throw new Error("unknown kind of challenge");let i=Yt(e+":");for(let o=0;;){let l=Date.now()+12;for(;Date.now()<l;)for(let d=0;d<64;d++,o++)if(Qt(i(String(o)))>=n)return`${e}:${o}`;if(!t())throw new Error("no longer wanted");await new Promise(d=>setTimeout(d))}}var ie=class{constructor(t){this.server=t}server;start(t){return _e(this.server,"POST","/attempts",t)}look(t,n){return this.about(t,n,"GET","")}answer(t,n,i){return this.about(t,n,"POST","/answer",i)}resend(t,n,i){return this.about(t,n,"POST","/resend",i?{channel:i}:{})}grant(t,n){return this.about(t,n,"POST","/grant",{})}about(t,n,i,r,o){return _e(this.server,i,`/attempts/${encodeURIComponent(t)}${r}`,o,{"Attempt-Secret":n})}};var Ce={},ve="en";function Qe(e,t){Ce=e,ve=t}function c(e,t={}){return en(Ce[e]??e,t)}function Xe(e,t){let n=`${e}.${new Intl.PluralRules(ve).select(t)}`;return c(n in Ce?n:`${e}.other`,{n:t})}function en(e,t){return e.replace(/\{(\w+)\}/g,(n,i)=>String(t[i]??n))}function I(e,t,n,i={}){let r=c(t,i).split(/(\{\w+\})/),o=[];r.forEach((l,d)=>{let p=n[l.slice(1,-1)];if(!l.startsWith("{")||p===void 0)return o.push(l);let a=document.createElement("bdi");p.split(/(?=[@.])/).forEach((h,v)=>a.append(...v>0?[document.createElement("wbr")]:[],h));let u=document.createElement("span");u.className="together";let m=new RegExp("^\\p{Po}*","u").exec(r[d+1]??"")[0];return m&&(r[d+1]=r[d+1].slice(m.length)),u.append(a,m),o.push(u)}),e.replaceChildren(...o)}function re(e){let t=Math.max(1,Math.ceil(e)),n="second";return t>90&&(t=Math.ceil(t/60),n="minute",t>90&&(t=Math.ceil(t/60),n="hour")),new Intl.NumberFormat(ve,{style:"unit",unit:n,unitDisplay:"long"}).format(t)}function we(e){let t=Math.max(0,Math.ceil(e));return`${Math.floor(t/60)}:${String(t%60).padStart(2,"0")}`}var s=e=>document.getElementById(e),f=JSON.parse(s("config").textContent??"");Qe(f.text,f.locale);var E=f.mode==="frame";var Ee=0,J=0,et=0,oe=!1,tt="";function Se(e){Ee=Date.now()+e.expires_in*1e3,J=e.resend_in<0?1/0:Date.now()+e.resend_in*1e3}function nt(e){tt=e}function Te(){return Date.now()>=Ee}function it(){return!oe&&Date.now()>=J}function ae(e,t=0){oe=e,t&&(J=Date.now()+t*1e3)}function Me(e){et=Date.now()+6e3,s("code-valid").textContent=e}function rt(){let e=Date.now(),t=s("code-resend"),n=J===1/0;t.hidden=n,s("code-none").hidden=!n;let i=(J-e)/1e3,r=oe?c("code.resend.busy"):i>0?c("code.resend.wait",{time:we(i)}):tt;t.textContent!==r&&(t.textContent=r);for(let d of[t,s("code-other")])d.setAttribute("aria-disabled",String(oe||i>0));let o=(Ee-e)/1e3,l=c("code.expires",{time:o>90?re(o):we(o)});e>et&&s("code-valid").textContent!==l&&(s("code-valid").textContent=l)}function O(e){for(let t of document.querySelectorAll(".screen"))t.hidden=t.id!==`${e}-screen`}function M(e){s("live").textContent=e}function b(e,t,n=!0){s(`${e.id}-error`).textContent=t,t?(e.setAttribute("aria-invalid","true"),n&&(e.focus(),e.select())):e.removeAttribute("aria-invalid")}function se(e){return e.querySelector(".button_text")}function w(e,t){let n=se(e);n.dataset.idle??=n.textContent??"",n.textContent=t||n.dataset.idle,e.setAttribute("aria-disabled",String(t!=="")),e.classList.toggle("busy",t!==""),M(t)}function W(e,t){let n=se(e);e.classList.contains("busy")?n.dataset.idle=t:(n.textContent=t,delete n.dataset.idle)}function Z(e){var r;let t=s("status-screen");t.classList.remove("good","bad","wait"),t.classList.add(e.kind),s("status-title").textContent=e.title,typeof e.text=="string"?s("status-text").textContent=e.text:e.text(s("status-text"));let n=s("status-action");n.hidden=!e.action,w(n,""),W(n,((r=e.action)==null?void 0:r.label)??""),n.onclick=()=>{var o;return(o=e.action)==null?void 0:o.run()};let i=s("status-link");i.hidden=!e.link,e.link&&(i.textContent=e.link.label,i.href=e.link.href,i.rel="noreferrer"),O("status"),s("status-title").focus()}var tn=15e3;function Le(){return new Promise((e,t)=>{let n=document.createElement("iframe");n.title=s("captcha-title").textContent??"",n.src=s("captcha").dataset.src??"";let i=l=>{clearTimeout(o),removeEventListener("message",r),s("captcha-cancel").onclick=null,n.remove(),l()},r=l=>{if(l.source!==n.contentWindow||l.origin!==location.origin)return;let d=l.data;switch(d==null?void 0:d.captcha){case"ready":return clearTimeout(o);case"done":return typeof d.token=="string"&&d.token.length<=8192?i(()=>e(d.token)):void 0;case"failed":return i(()=>t(new k("captcha_failed")))}},o=setTimeout(()=>i(()=>t(new k("captcha_failed"))),tn);addEventListener("message",r),s("captcha-cancel").onclick=()=>i(()=>t(new k("captcha_stopped"))),s("captcha").replaceChildren(n),O("captcha"),s("captcha-title").focus()})}var G=[],ce;function Ie(e){if(f.kind!=="phone")return;let t=f.channels;G=(e!=null&&e.phoneChannels.length?e.phoneChannels:t).filter(o=>t.includes(o)),G.length||(G=t),ce=G[0];let i=G.includes("whatsapp"),r=G.includes("sms");s("address-submit").hidden=i&&!r,s("whatsapp-submit").hidden=!i,s("whatsapp-note").hidden=!i,s("address-submit").dataset.channel=r?"sms":"",i&&r&&!(e!=null&&e.buttonText)&&W(s("address-submit"),c("phone.submit.sms")),e!=null&&e.buttonWAText&&W(s("whatsapp-submit"),e.buttonWAText),e!=null&&e.buttonWATextSubtitle&&(s("whatsapp-note").textContent=e.buttonWATextSubtitle)}function Re(e){(e==="sms"||e==="whatsapp")&&(ce=e)}function Pe(){return ce}function ot(){return G.filter(e=>e!==ce)}var A=s("code"),R=6,Y="0123456789";function at(e){var n,i;R=((n=e.code)==null?void 0:n.length)??6,Y=((i=e.code)==null?void 0:i.alphabet)??"0123456789";let t=/^\d+$/.test(Y);return document.querySelector(".verification_label").textContent=t?c("code.label.digits",{n:R}):c("code.label"),A.inputMode=t?"numeric":"text",t?A.pattern="[0-9 \\-]*":A.removeAttribute("pattern"),A.value="",A.classList.toggle("long",R>7),b(A,""),t}function Q(){let e=A.value.replace(/[\s\u2010-\u2015-]/g,"");return Y===Y.toUpperCase()?e.toUpperCase():e}function st(){return Q().length===R}function ct(){let e=Q();if(e.length===R)return e;b(A,e?c("code.short",{n:R}):c("code.empty"))}function dt(){if(Q().length<=R)return;let t=A.value.split(/[^\p{L}\p{N}]+/u).find(n=>n.length===R&&[...n].every(i=>Y.includes(i)));t&&(A.value=t)}function q(e){let t=document.createElement("span");if(t.style.color=e,!t.style.color||/var\(|current|inherit|initial|unset|revert/i.test(e))return;t.hidden=!0,document.body.append(t);let n=getComputedStyle(t).color;t.remove();let i=/^rgb\((\d+), (\d+), (\d+)\)$/.exec(n);return i?[Number(i[1]),Number(i[2]),Number(i[3])]:void 0}function lt(e){let[t,n,i]=e.map(r=>{let o=r/255;return o<=.04045?o/12.92:((o+.055)/1.055)**2.4});return .2126*t+.7152*n+.0722*i}function K(e,t){let[n,i]=[lt(e),lt(t)];return(Math.max(n,i)+.05)/(Math.min(n,i)+.05)}var Ne=[255,255,255],nn=[0,0,0],F=e=>`rgb(${e.join(",")})`;function ft(e){let t=document.documentElement,n=document.getElementById("whatsapp-submit"),i=()=>{ut(t,e.buttonBackgroundColor,e.buttonTextColor,e.buttonBorderColor);let r=e.errorColor?q(e.errorColor):void 0;if(r&&K(r,de())>=4.5&&t.style.setProperty("--bad",F(r)),!n)return;ut(n,e.buttonWABackgroundColor,e.buttonWATextColor,e.buttonWABorderColor);let o=e.buttonWALogoColor?q(e.buttonWALogoColor):void 0,l=De(n,"--accent");o&&l&&K(o,l)>=3&&n.style.setProperty("--logo",F(o))};i(),matchMedia("(prefers-color-scheme: dark)").addEventListener("change",()=>{for(let r of[t,n])for(let o of["--accent","--on-accent","--accent-edge","--bad","--logo"])r==null||r.style.removeProperty(o);i()})}function ut(e,t,n,i){let r=e.style,o=t?q(t):void 0;o&&(r.setProperty("--accent",F(o)),r.setProperty("--on-accent",F(K(Ne,o)>=4.5?Ne:nn)),K(o,de())>=3&&r.setProperty("--accent-edge",F(o)));let l=o??De(e,"--accent"),d=n?q(n):void 0;d&&l&&K(d,l)>=4.5&&r.setProperty("--on-accent",F(d));let p=i?q(i):void 0;p&&l&&(K(p,de())>=3||K(l,de())>=3)&&r.setProperty("--accent-edge",F(p))}function De(e,t){return q(getComputedStyle(e).getPropertyValue(t).trim())}function de(){return De(document.documentElement,"--surface")??Ne}function pt(e){let t=/^(https?):\/\/(?:[^@/?#]*@)?(\[[^\]]*\]|[^:/?#]*)/i.exec(e);return!t||/^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/i.test(t[2])}function Be(e,t){let[n="",...i]=e.split("#"),[r="",...o]=n.split("?"),l=o.join("?").split("&").filter(d=>d!==""&&!(rn(d.split("=")[0]??"")in t));for(let[d,p]of Object.entries(t))l.push(`${encodeURIComponent(d)}=${encodeURIComponent(p)}`);return r+"?"+l.join("&")+(i.length?"#"+i.join("#"):"")}function rn(e){try{return decodeURIComponent(e)}catch{return e}}function X(e){let t=/^([a-z][a-z0-9+.-]*):\/\/(?:[^@/?#]*@)?([^/?#]*)/i.exec(e);return t?/^https?$/i.test(t[1])?t[2]:`${t[1]}://${t[2]}`:e}var C=s("address");C.addEventListener("input",()=>b(C,""));var on=1024,mt=[];function gt(e){let t=s("fields");e.forEach((n,i)=>{let r=document.createElement("input");if(r.id=`field-${i}`,r.name=n.name,r.type=n.type,n.type==="checkbox"?r.checked=n.initial==="true":r.value=n.initial,mt.push({extra:n,input:r}),n.type==="hidden")return t.append(r);let o=document.createElement("div");o.className="input_row_container";let l=document.createElement("label");l.htmlFor=r.id;let d=document.createElement("span");d.dir="auto",d.textContent=n.label,l.append(d);let p=document.createElement("p");if(p.className="error",p.id=`${r.id}-error`,p.setAttribute("role","alert"),r.setAttribute("aria-describedby",p.id),r.addEventListener("input",()=>b(r,"")),n.type==="checkbox")r.className="check_input",l.className="check_label",l.prepend(r),o.append(l,p);else{r.className="input_text",r.dir="auto",n.placeholder&&(r.placeholder=n.placeholder),l.className="input_label";let a=document.createElement("div");a.className="input_text_container_default",a.append(r),o.append(l,a,p)}return t.append(o)})}function ht(){let e={},t;for(let{extra:n,input:i}of mt){if(!i.checkValidity()){b(i,c("field.invalid"));return}e[n.name]=n.type==="checkbox"?i.checked:i.value.trim(),n.type!=="hidden"&&n.type!=="checkbox"&&i.value.length>=((t==null?void 0:t.value.length)??0)&&(t=i)}if(new TextEncoder().encode(JSON.stringify(e)).length>on){b(t??C,c("field.long"));return}return e}function yt(e,t){let n=e&&t?"legal.both":e?"legal.terms":t?"legal.privacy":"";if(!n)return;let i={"{terms}":[e,c("legal.terms.link")],"{privacy}":[t,c("legal.privacy.link")]},r=c(n).split(/(\{\w+\})/).map(l=>{let[d,p]=i[l]??[];if(!d||!p)return l;let a=document.createElement("a");return a.href=d,a.textContent=p,a.target="_blank",a.rel="noopener noreferrer",a}),o=s("legal");o.replaceChildren(...r),o.hidden=!1}var Oe="splitpin.attempt";function bt(e,t){if(!E)try{sessionStorage.setItem(Oe,JSON.stringify({id:e,secret:t,challenge:f.challenge,state:f.state}))}catch{}}function ee(){try{sessionStorage.removeItem(Oe)}catch{}}function At(){if(!E)try{let e=JSON.parse(sessionStorage.getItem(Oe)??"null");return!e||e.challenge!==f.challenge||e.state!==f.state?void 0:{id:e.id??"",secret:e.secret??""}}catch{return}}var kt=["form_container","loadingImg","input_label","verification_label","pin_row","pin_input","verification_subtitle","error","input_row_container","input_row","input_text_container_default","input_text","input_text_container","country_code","country_code_blank","input_text_p","check_input","button_container","button_text","divider_text","divider_text_before","divider_text_span","divider_text_after"],Ge="(-(top|right|bottom|left|inline|block|inline-start|inline-end|block-start|block-end))?",an=new RegExp(`^(color|background-color|caret-color|accent-color|border${Ge}(-(color|style|width))?|border(-(top|bottom)-(left|right))?-radius|box-shadow|outline-color|font-(family|size|style|weight)|letter-spacing|line-height|text-(align|decoration|decoration-color|decoration-line|transform)|word-spacing|padding${Ge}|margin${Ge}|gap|column-gap|row-gap|(min-|max-)?(width|height)|justify-content|align-items)$`),sn=/color|^border$|^border-(top|right|bottom|left|inline|block)$|shadow/,cn=["font-weight","line-height"],dn=40;function xt(e){let t=[];if(typeof e!="object"||e===null)return t;for(let[n,i]of Object.entries(e).slice(0,dn)){let r=n.replace(/[A-Z]/g,l=>"-"+l.toLowerCase());if(!an.test(r))continue;let o=typeof i=="number"&&Number.isFinite(i)?i===0||cn.includes(r)?String(i):`${i}px`:i;typeof o!="string"||o.length>200||/\\|url\(|image\(|image-set\(|src\(|attr\(|env\(|var\(|!\s*important/i.test(o)||t.push([r,o.trim()])}return t}function _t(e){var n;if(e.size===0)return;let t=(n=document.querySelector('link[rel="stylesheet"]'))==null?void 0:n.sheet;if(t)for(let[i,r]of e){let o=t.insertRule(`.mode-frame .${i}.${i} {}`,t.cssRules.length),l=t.cssRules[o];for(let[d,p]of r)l.style.setProperty(d,p),sn.test(d)&&document.documentElement.classList.add("light")}}var ln=["buttonText","buttonBackgroundColor","buttonTextColor","buttonBorderColor","errorColor","buttonWAText","buttonWABackgroundColor","buttonWABorderColor","buttonWATextColor","buttonWALogoColor"],un=["text","email","tel","number","url","date","checkbox","hidden"],fn=8,pn=["token","oauth_token","user","email","phone","status","identifier"];function S(e,t){if(!(typeof e!="string"||e.trim()===""))return e.length>t?e.slice(0,t-1)+"…":e}function L(e){return typeof e=="object"&&e!==null?e:{}}function le(e,t){return Array.isArray(e)?e.slice(0,t):[]}function Ke(e){return e===!0||e==="true"}function Fe(e){let t={phoneChannels:[],countryCodes:[],initialValue:"",fixed:Ke(e.identifierFieldDisabled),skip:!1,captcha:Ke(e.captchaRequired),fields:[],styles:new Map,requestText:{},providers:[]};for(let a of ln){let u=S(e[a],60);u&&(t[a]=u)}let n=S(e.buttonWATextSubtitle,200);n&&(t.buttonWATextSubtitle=n);for(let a of le(e.phoneChannels,4)){let u=String(a).toLowerCase();(u==="sms"||u==="whatsapp")&&!t.phoneChannels.includes(u)&&t.phoneChannels.push(u)}for(let a of le(e.countryCode,250)){let u=/^\+?(\d{1,4})$/.exec(String(a).trim());u&&t.countryCodes.push(`+${u[1]}`)}let i=S(e.identifierFieldInitialValue,255);i&&i.length<255&&(t.initialValue=i);let r=S(e.skipIdentiferFormWithValue,255);Ke(e.skipIdentiferForm)&&r&&r.length<255&&(t.initialValue=r,t.skip=!0);let o=new Set([...pn,String(e.identifierField??"")]);for(let a of le(e.additionalFields,fn)){let u=mn(L(a));!u||o.has(u.name)||(o.add(u.name),t.fields.push(u))}for(let a of kt){let u=xt(L(e.styles)[a]);u.length&&t.styles.set(a,u)}let l=L(e.authRequestText);if(l.default!==!0)for(let[a,u]of[["title",80],["subtitle",200],["titleError",80],["subtitleError",200],["switchOTPText",80]]){let m=S(l[a],u);m&&(t.requestText[a]=m)}let d=Ct(e.termsOfServiceLink);d&&(t.terms=d);let p=Ct(e.privacyPolicyLink);p&&(t.privacy=p);for(let a of le(e.socialLoginProviders,6))typeof a=="string"&&/^[A-Z0-9_-]{1,32}$/i.test(a)&&!t.providers.includes(a)&&t.providers.push(a);return t}function vt(e,t){let n=Fe(t);return{...e,fields:e.fields.length?e.fields:n.fields,providers:e.providers.length?e.providers:n.providers}}function mn(e){let t=e.name;if(typeof t!="string"||!/^[\p{L}\p{N}_. -]{1,64}$/u.test(t)||t in{}||e.type==="password")return;let n=typeof e.type=="string"&&un.includes(e.type)?e.type:"text",i=typeof e.initial_value=="number"||typeof e.initial_value=="boolean"?String(e.initial_value):e.initial_value;return{name:t,type:n,label:S(e.label,80)??t,placeholder:S(e.placeholder,80)??"",initial:typeof i=="string"&&i.length<=1024?i:""}}function Ct(e){if(!(typeof e!="string"||e.length>2048))try{let t=new URL(e);return t.protocol==="https:"&&!t.username&&!t.password?t.href:void 0}catch{return}}function wt(e){let{challenge:t,challenge_id:n}=e,i=typeof n=="number"?String(n):n;if(!(typeof t!="string"||!/^[A-Za-z0-9_.~:-]{16,256}$/.test(t))&&!(typeof i!="string"||!/^\d{1,10}$/.test(i)))return{challengeId:i,secret:t,clientData:L(e.client_json)}}var ue=300;function gn(e){if(typeof e!="string"||e.length>65536)return;let t;try{t=L(JSON.parse(e))}catch{return}let n=L(t.payload);switch(t.action){case"CONFIG":return{action:"CONFIG",config:Fe(n)};case"CONTINUE_SUBMIT":return{action:"CONTINUE_SUBMIT",identifier:typeof n.identifier=="string"?n.identifier:void 0};case"ON_ERROR":return{action:"ON_ERROR",message:S(t.errorMsg,ue)??""};case"DONE_SUCCESS":return{action:"DONE_SUCCESS"};case"DONE_ERROR":return{action:"DONE_ERROR",message:S(t.payload,ue)??S(L(n.data).msg,ue)??S(n.msg,ue)??""};case"HANDLE_MAGIC_LINK_REDIRECT":return{action:"HANDLE_MAGIC_LINK_REDIRECT",link:wt(n)}}}var fe=class{constructor(t,n,i){this.origin=t;this.id=n;addEventListener("message",r=>{if(r.source!==window.parent||r.origin!==this.origin)return;let o=gn(r.data);o&&i(o)})}send(t,n){window.parent.postMessage(JSON.stringify({callbackName:this.id+t,payload:n}),this.origin)}};var hn={APPLE:"Apple",DISCORD:"Discord",GITHUB:"GitHub",GITLAB:"GitLab",GOOGLE:"Google",MICROSOFT:"Microsoft"};function Et(e,t){e.length&&(s("providers").append(...e.map(n=>{let i=document.createElement("button");i.type="button",i.className="button_container plain";let r=document.createElement("span");r.className="spinner loadingImg",r.setAttribute("aria-hidden","true");let o=document.createElement("span");return o.className="button_text",o.textContent=c("social.continue",{provider:hn[n.toUpperCase()]??n}),i.append(r,o),i.addEventListener("click",()=>t(n,i)),i})),s("social").hidden=!1)}function St(e,t,n){let i={identifier:t,type:f.kind==="phone"?c("link.type.phone"):c("link.type.email")},r=o=>o.replace(/\{\{(identifier|type)\}\}/g,(l,d)=>i[d]);n.title&&(s("code-title").textContent=r(n.title)),n.subtitle?s("code-sent").textContent=r(n.subtitle):I(s("code-sent"),"link.sent",{address:t}),s("link-digits").textContent=e,s("link-switch").textContent=n.switchOTPText??c("link.switch")}var yn=2e3,bn=6e3,An=30;function Tt(e,t,n){let i=0,r=()=>{let o=async()=>{if(t()){if(document.hidden)return document.addEventListener("visibilitychange",()=>{o()},{once:!0});try{let l=await e();if(!t())return;if(l.state!=="open")return await n(l)}catch{}r()}};setTimeout(()=>{o()},i++<An?yn:bn)};r()}var z=new ie({base:f.base}),P,g="address",y=0,N="",me={},x,H="",be="",He="",$=0,Mt=!1,ge={},Lt=8e3,kn=3e4,V=s("address-submit");function D(e="",t=!0){g="address",y++,clearTimeout($),x=void 0,ee(),s("address-waiting").hidden=!0,w(V,""),O("address"),b(C,e,!1),t&&(C.focus(),C.readOnly||C.select())}s("address-form").addEventListener("submit",e=>{e.preventDefault();let t=e.submitter??s("address-submit");t.hidden&&(t=s("whatsapp-submit")),g==="address"&&Re(t.dataset.channel),$e(t)});function $e(e=s("address-submit")){if(g!=="address")return;let t=P.read();if(t===void 0)return;let n=ht();if(n!==void 0){if(b(C,""),V=e,N=t,me=n,!E)return void We();g="asking",w(V,c("address.asking")),_==null||_.send("ON_BEGIN",{identifier:N,identifier_type:f.kind.toUpperCase(),device_type:"BROWSER",device_name:navigator.userAgent,auth_required:!0,client_json:me}),$=setTimeout(()=>{let i=c("address.slow",{site:X(f.domain)});s("address-waiting").firstElementChild.textContent=i,s("address-waiting").hidden=!1,M(i)},Lt)}}s("address-cancel").addEventListener("click",()=>{(g==="asking"||g==="leaving")&&D(c("address.stopped"))});async function We(){g="starting",clearTimeout($),s("address-waiting").hidden=!0;let e=++y,t=s("status-screen").hidden?V:s("status-action");w(t,c("address.busy"));let n={method:f.method,identifier:N,code_challenge:f.challenge,locale:f.locale},i=Pe();i&&(n.channel=i),E&&(n.origin=f.domain),f.redirectUrl&&(n.redirect_url=f.redirectUrl),f.formId&&(n.form_id=f.formId),f.method.endsWith("_link")&&(n.state=f.state,n.client_data=me);try{Mt&&(n.captcha=await Le());for(let r=0;;r++){if(e!==y)return;O(s("status-screen").hidden?"address":"status"),w(t,c("address.busy"));try{let o=await z.start(n);return e!==y?void 0:(H=o.secret,bt(o.attempt.id,H),It(o.attempt))}catch(o){if(!(o instanceof k)||r===3||e!==y)throw o;if(o.code==="challenge_required"&&o.challenge)w(t,c("address.puzzle")),n.puzzle=await Ye(o.challenge,()=>e===y);else if(o.code==="captcha_required"&&f.captcha)n.captcha=await Le();else throw o}}}catch(r){if(e!==y)return;xn(r)}}function xn(e){let t=e instanceof k?e:void 0;switch(t==null?void 0:t.code){case"origin_not_allowed":case"redirect_not_allowed":case"unknown_project":return T({kind:"bad",title:c("unfinished.title"),text:c("fault.refused")})}D(he(t??new k("puzzle")))}function he(e){let t=re(e.retryAfter||60),i={offline:"fault.offline",unavailable:"fault.unavailable",puzzle:"fault.puzzle",challenge_required:"fault.puzzle",captcha_required:"fault.puzzle",captcha_failed:"fault.puzzle",captcha_stopped:"address.stopped",invalid_identifier:f.kind==="phone"?"phone.invalid":"address.invalid",not_admitted:"fault.admitted",too_many_starts:"fault.starts",too_many_messages:"fault.messages",resend_too_soon:"fault.resend"}[e.code]??(e.status===429?"fault.limited":"fault.internal"),r=e.requestId&&(e.status>=500||i==="fault.internal")?` ${c("fault.reference",{id:e.requestId})}`:"";return c(i,{time:t})+r}var pe=!E&&pt(f.redirectUrl);function It(e){var r;g="code",be="",x=e,Se(e),nt(e.link?c("link.resend"):c("code.resend"));let t=at(e),n={email:"code.title.email",sms:"code.title.sms",whatsapp:"code.title.whatsapp"};s("code-title").textContent=c(n[Pe()??"email"]),e.link?St(e.link.digits,e.identifier,ge):I(s("code-sent"),t?"code.sent.digits":"code.sent",{address:e.identifier},{n:((r=e.code)==null?void 0:r.length)??6}),s("link-part").hidden=!e.link,s("code-form").hidden=!!e.link,s("code-hint").textContent=c(pe?"code.hint.tap":"code.hint");let i=s("code-destination");if(i.hidden=!pe,pe&&I(i,"code.continue",{destination:X(f.redirectUrl)}),Nt(),w(V,""),w(s("code-submit"),""),O("code"),ye(),M(s("code-sent").textContent??""),(e.link?s("code-title"):A).focus(),!E&&history.state!=="code"&&history.pushState("code",""),e.link){let o=y;Tt(()=>z.look(e.id,H),()=>o===y&&g==="code",_n)}}async function _n(e){let t=y;switch(e.state){case"proved":try{let n=await z.grant(e.id,H);return t!==y||g!=="code"?void 0:(ee(),Bt(n))}catch(n){if(t!==y||g!=="code")return;if(n instanceof k&&(n.code==="offline"||n.status>=500||n.status===429))throw n}break;case"denied":return T({kind:"bad",title:ge.titleError??c("denied.title"),text:ge.subtitleError??c("denied.text"),...U()});case"expired":return qe()}T({kind:"good",title:c("elsewhere.title"),text:c("elsewhere.text"),...U()})}s("link-switch").addEventListener("click",()=>{I(s("code-sent"),"link.code",{address:(x==null?void 0:x.identifier)??N}),s("code-form").hidden=!1,s("link-part").hidden=!0,A.focus()});A.addEventListener("input",()=>{dt(),Q()!==be&&b(A,""),!pe&&st()&&Rt()});s("code-form").addEventListener("submit",e=>{e.preventDefault(),Rt(!0)});async function Rt(e=!1){if(g!=="code"||!x)return;let t=ct();if(t===void 0)return;if(t===be)return e?b(A,He):void 0;g="checking";let n=y;b(A,""),w(s("code-submit"),c("code.busy"));try{let i=await z.answer(x.id,H,{code:t});if(n!==y)return;ee(),Bt(i)}catch(i){if(n!==y)return;g="code",w(s("code-submit"),""),Pt(i instanceof k?i:new k("internal"),t)}}function Pt(e,t){switch(e.code){case"wrong_code":return be=t,He=e.triesLeft===void 0?c("code.wrong"):Xe("code.wrong.tries",e.triesLeft),b(A,He);case"too_many_tries":return T({kind:"bad",title:c("tries.title"),text:c("tries.text"),...U()});case"attempt_over":case"attempt_unknown":return Te()?qe():T({kind:"bad",title:c("over.title"),text:c("over.text"),...U()});case"not_admitted":return T({kind:"bad",title:c("unfinished.title"),text:c("fault.admitted"),...U()})}b(A,he(e))}s("code-change").addEventListener("click",()=>{g==="code"&&(history.state==="code"?history.back():D())});s("code-resend").addEventListener("click",()=>{Dt()});s("code-other").addEventListener("click",()=>{Dt(s("code-other").dataset.channel)});function Nt(){let[e]=ot();s("code-other").hidden=!e,e&&(s("code-other").dataset.channel=e,s("code-other").textContent=c(e==="sms"?"code.other.sms":"code.other.whatsapp"))}async function Dt(e){if(g!=="code"||!x||!it())return;ae(!0);let t=y;ye();try{let n=await z.resend(x.id,H,e);if(t!==y)return;e&&Re(e),x={...x,...n},Se(x),Nt(),M("");let i=x.link?c("link.resend.done"):c("code.resend.done");requestAnimationFrame(()=>M(i)),Me(i),s("code-form").hidden||A.focus()}catch(n){if(t!==y)return;let i=n instanceof k?n:new k("internal");if(ae(!0,i.retryAfter),i.code==="attempt_over"||i.code==="attempt_unknown"||i.code==="too_many_tries")return Pt(i,"");if(M(""),s("code-form").hidden)return Me(he(i));b(A,he(i),!1),A.removeAttribute("aria-invalid")}finally{ae(!1),ye()}}function ye(){g!=="code"&&g!=="checking"||(rt(),g==="code"&&Te()&&qe())}setInterval(ye,500);function qe(){let e=(x==null?void 0:x.identifier)??N,t=(x==null?void 0:x.link)!==void 0;N=e,T({kind:"bad",title:t?c("expired.link.title"):c("expired.title"),text:n=>I(n,t?"expired.link.text":"expired.text",{address:e}),action:{label:t?c("expired.link.action"):c("expired.action"),run:()=>g==="stopped"&&void We()},...Gt("expired")})}function Bt({authorization_code:e,challenge_id:t}){if(!E)return vn({code:e,state:f.state,challenge_id:String(t),...f.issuer&&{iss:f.issuer}});g="finishing";let n=y;Z({kind:"wait",title:c("finishing.title"),text:c("finishing.text")}),_==null||_.send("ON_SUBMIT_AUTHORIZATION_CODE",{authorization_code:e,challenge_id:t,state:f.state,client_json:me}),$=setTimeout(()=>{n===y&&g==="finishing"&&Ot(c("unfinished.slow"))},kn)}function Ot(e){T({kind:"bad",title:c("unfinished.title"),text:e,...U()})}function Cn(){g="done",clearTimeout($),Z({kind:"good",title:c("success.title"),text:c("success.text")})}function vn(e){g="done";let t=Be(f.redirectUrl,e);Z({kind:"good",title:c("success.title"),text:n=>I(n,"success.redirect",{destination:X(f.redirectUrl)}),link:{label:c("success.action"),href:t}}),location.replace(t)}function T(e){g="stopped",y++,clearTimeout($),ee(),w(s("code-submit"),""),Z(e)}function U(){return{action:{label:c("action.restart"),run:()=>g==="stopped"&&D()},...Gt("access_denied")}}function Gt(e){return E||!f.redirectUrl?{}:{link:{label:c("action.back",{destination:X(f.redirectUrl)}),href:Be(f.redirectUrl,{error:e,state:f.state})}}}var Ue=!1;function wn(e){switch(e.action){case"CONFIG":if(Ue)return;Ue=!0,En(vt(e.config,f.extra)),_==null||_.send("LOADED"),e.config.skip&&Sn(e.config);return;case"HANDLE_MAGIC_LINK_REDIRECT":!Ue&&g==="address"&&Tn(e.link);return;case"CONTINUE_SUBMIT":g==="asking"&&(e.identifier===void 0||e.identifier===N)&&We();return;case"ON_ERROR":g==="asking"&&D(e.message||c("fault.admitted"));return;case"DONE_SUCCESS":(g==="finishing"||g==="asking")&&Cn();return;case"DONE_ERROR":(g==="finishing"||g==="asking")&&Ot(e.message?c("unfinished.said",{message:e.message}):c("unfinished.text"))}}function En(e){document.documentElement.classList.add("ready"),e.buttonText&&W(s("address-submit"),e.buttonText),Ie(e),P.configure(e),gt(e.fields),Mt=e.captcha&&f.captcha,ge=e.requestText,yt(e.terms,e.privacy),Et(e.providers,(t,n)=>{g==="address"&&(g="leaving",V=n,w(n,c("address.asking")),_==null||_.send("ON_SOCIAL_LOGIN_REQUEST",{provider:t}),$=setTimeout(()=>D(c("social.slow",{provider:se(n).dataset.idle??t})),Lt))}),g==="address"&&(e.initialValue&&P.fill(e.initialValue),P.fix(e.fixed)),_t(e.styles),ft(e)}function Sn(e){P.fix(!0),!f.method.endsWith("_link")&&e.initialValue&&$e()}function Tn(e){e||T({kind:"bad",title:c("over.title"),text:c("over.text"),...U()})}var _=E?new fe(f.domain,f.messageId,wn):void 0;async function Mn(){let e=At();if(!e)return!1;let t=y;try{let n=await z.look(e.id,e.secret);return n.state!=="open"||t!==y||g!=="address"?!1:(H=e.secret,N=n.identifier,P.fill(n.identifier),It(n),!0)}catch{return!1}}addEventListener("popstate",()=>{(g==="code"||g==="checking")&&D()});addEventListener("pageshow",e=>{e.persisted&&(g==="done"||g==="finishing"||g==="leaving")&&D()});async function Ln(){if(E)return window.parent===window?T({kind:"bad",title:c("unframed.title"),text:c("unframed.text")}):_==null?void 0:_.send("FIRST_LOAD");if(history.state==="code"&&history.replaceState(null,""),Ie(),f.input&&!C.value&&P.fill(f.input),!await Mn()){if(f.directLogin&&f.input&&!f.method.endsWith("_link"))return $e();g==="address"&&C.focus()}}function Kt(e){P=e,Ln()}var In=`AC|247!||5-5|40123
AD|376!||6-9|312 345|Europe/Andorra
AE|971!|0|9-9|50 123 4567|Asia/Dubai
AF|93!|0|9-9|70 123 4567|Asia/Kabul
AG|1-268|1|10-10|268-464-1234|America/Antigua
AI|1-264|1|10-10|264-235-1234|America/Anguilla
AL|355!|0|9-9|67 212 3456|Europe/Tirane
AM|374!|0|8-8|77 123456|Asia/Yerevan
AO|244!||9-9|923 123 456|Africa/Luanda
AR|54!|0|10-11|9 11 2345-6789|America/Argentina/Buenos_Aires,Argentina/Cordoba,Argentina/Salta,Argentina/Jujuy,Argentina/Tucuman,Argentina/Catamarca,Argentina/La_Rioja,Argentina/San_Juan,Argentina/Mendoza,Argentina/San_Luis,Argentina/Rio_Gallegos,Argentina/Ushuaia,Buenos_Aires,Catamarca,Cordoba,Jujuy,Mendoza,Rosario
AS|1-684|1|10-10|684-733-1234|Pacific/Pago_Pago,Samoa
AT|43!|0|7-13|664 123456|Europe/Vienna
AU|61!|0|9-9|412 345 678|Australia/Lord_Howe,Hobart,Melbourne,Sydney,Broken_Hill,Brisbane,Lindeman,Adelaide,Darwin,Perth,Eucla,ACT,Canberra,Currie,NSW,North,Queensland,South,Tasmania,Victoria,West,Yancowinna Antarctica/Macquarie
AW|297!||7-7|560 1234|America/Aruba
AX|358-18|0|6-10|41 2345678|Europe/Mariehamn
AZ|994!|0|9-9|40 123 45 67|Asia/Baku
BA|387!|0|8-9|61 123 456|Europe/Sarajevo
BB|1-246|1|10-10|246-250-1234|America/Barbados
BD|880!|0|10-10|1812-345678|Asia/Dhaka,Dacca
BE|32!|0|9-9|450 00 12 34|Europe/Brussels
BF|226!||8-8|70 12 34 56|Africa/Ouagadougou
BG|359!|0|8-9|43 012 345|Europe/Sofia
BH|973!||8-8|3600 1234|Asia/Bahrain
BI|257!||8-8|79 56 12 34|Africa/Bujumbura
BJ|229!||10-10|01 95 12 34 56|Africa/Porto-Novo
BL|590|0|9-9|690 00 12 34|America/St_Barthelemy
BM|1-441|1|10-10|441-370-1234|Atlantic/Bermuda
BN|673!||7-7|712 3456|Asia/Brunei
BO|591!|0|8-8|71234567|America/La_Paz
BQ|599||7-7|318 1234|America/Kralendijk
BR|55!|0|10-11|11 96123-4567|America/Noronha,Belem,Fortaleza,Recife,Araguaina,Maceio,Bahia,Sao_Paulo,Campo_Grande,Cuiaba,Santarem,Porto_Velho,Boa_Vista,Manaus,Eirunepe,Rio_Branco,Porto_Acre
BS|1-242|1|10-10|242-359-1234|America/Nassau
BT|975!||8-8|17 12 34 56|Asia/Thimphu,Thimbu
BW|267!||8-8|71 123 456|Africa/Gaborone
BY|375!|8|9-9|29 491-19-11|Europe/Minsk
BZ|501!||7-7|622-1234|America/Belize
CA|1|1|10-10|506-234-5678|America/St_Johns,Halifax,Glace_Bay,Moncton,Goose_Bay,Blanc-Sablon,Toronto,Iqaluit,Atikokan,Winnipeg,Resolute,Rankin_Inlet,Regina,Swift_Current,Edmonton,Cambridge_Bay,Inuvik,Creston,Dawson_Creek,Fort_Nelson,Whitehorse,Dawson,Vancouver,Coral_Harbour,Montreal,Nipigon,Thunder_Bay,Rainy_River,Pangnirtung,Yellowknife
CC|61|0|9-9|412 345 678|Indian/Cocos
CD|243!|0|7-9|991 234 567|Africa/Kinshasa,Lubumbashi
CF|236!||8-8|70 01 23 45|Africa/Bangui
CG|242!||9-9|06 123 4567|Africa/Brazzaville
CH|41!|0|9-9|78 123 45 67|Europe/Zurich
CI|225!||10-10|01 23 45 6789|Africa/Abidjan
CK|682!||5-5|71 234|Pacific/Rarotonga
CL|56!||9-9|2 2123 4567|America/Santiago,Coyhaique,Punta_Arenas Pacific/Easter
CM|237!||9-9|6 71 23 45 67|Africa/Douala
CN|86!|0|11-11|131 2345 6789|Asia/Shanghai,Urumqi,Chongqing,Harbin,Kashgar
CO|57!|0|10-10|321 1234567|America/Bogota
CR|506!||8-8|8312 3456|America/Costa_Rica
CU|53!|0|8-8|5 1234567|America/Havana
CV|238!||7-7|991 12 34|Atlantic/Cape_Verde
CW|599!||7-8|9 518 1234|America/Curacao
CX|61|0|9-9|412 345 678|Indian/Christmas
CY|357!||8-8|96 123456|Asia/Nicosia,Famagusta Europe/Nicosia
CZ|420!||9-9|601 123 456|Europe/Prague
DE|49!|0|10-11|1512 3456789|Europe/Berlin,Busingen
DJ|253!||8-8|77 83 10 01|Africa/Djibouti
DK|45!||8-8|34 41 23 45|Europe/Copenhagen
DM|1-767|1|10-10|767-225-1234|America/Dominica
DO|1|1|10-10|809-234-5678|America/Santo_Domingo
DZ|213!|0|9-9|551 23 45 67|Africa/Algiers
EC|593!|0|9-9|99 123 4567|America/Guayaquil Pacific/Galapagos
EE|372!||7-8|5123 4567|Europe/Tallinn
EG|20!|0|10-10|10 01234567|Africa/Cairo
EH|212|0|9-9|6 50 12 34 56|Africa/El_Aaiun
ER|291!|0|7-7|7 123 456|Africa/Asmara,Asmera
ES|34!||9-9|612 34 56 78|Europe/Madrid Africa/Ceuta Atlantic/Canary
ET|251!|0|9-9|91 123 4567|Africa/Addis_Ababa
FI|358!|0|6-10|41 2345678|Europe/Helsinki
FJ|679!||7-7|701 2345|Pacific/Fiji
FK|500!||5-5|51234|Atlantic/Stanley
FM|691!||7-7|350 1234|Pacific/Chuuk,Pohnpei,Kosrae,Ponape,Truk,Yap
FO|298!||6-6|211234|Atlantic/Faroe,Faeroe
FR|33!|0|9-9|6 12 34 56 78|Europe/Paris
GA|241!||7-8|06 03 12 34|Africa/Libreville
GB|44!|0|10-10|7400 123456|Europe/London,Belfast
GD|1-473|1|10-10|473-403-1234|America/Grenada
GE|995!|0|9-9|555 12 34 56|Asia/Tbilisi
GF|594!|0|9-9|694 20 12 34|America/Cayenne
GG|44|0|10-10|7781 123456|Europe/Guernsey
GH|233!|0|9-9|23 123 4567|Africa/Accra
GI|350!||8-8|57123456|Europe/Gibraltar
GL|299!||6-6|22 12 34|America/Nuuk,Danmarkshavn,Scoresbysund,Thule,Godthab
GM|220!||7-7|301 2345|Africa/Banjul
GN|224!||9-9|601 12 34 56|Africa/Conakry
GP|590!|0|9-9|690 00 12 34|America/Guadeloupe
GQ|240!||9-9|222 123 456|Africa/Malabo
GR|30!||10-10|691 234 5678|Europe/Athens
GT|502!||8-8|5123 4567|America/Guatemala
GU|1-671|1|10-10|671-300-1234|Pacific/Guam
GW|245!||9-9|955 012 345|Africa/Bissau
GY|592!||7-7|609 1234|America/Guyana
HK|852!||8-8|5123 4567|Asia/Hong_Kong
HN|504!||8-8|9123-4567|America/Tegucigalpa
HR|385!|0|8-9|92 123 4567|Europe/Zagreb
HT|509!||8-8|34 10 1234|America/Port-au-Prince
HU|36!|06|9-9|20 123 4567|Europe/Budapest
ID|62!|0|9-12|812-345-678|Asia/Jakarta,Pontianak,Makassar,Jayapura,Ujung_Pandang
IE|353!|0|9-9|85 012 3456|Europe/Dublin
IL|972!|0|9-9|50-234-5678|Asia/Jerusalem,Tel_Aviv
IM|44|0|10-10|7924 123456|Europe/Isle_of_Man
IN|91!|0|10-10|81234 56789|Asia/Kolkata,Calcutta
IO|246!||7-7|380 1234|Indian/Chagos
IQ|964!|0|10-10|791 234 5678|Asia/Baghdad
IR|98!|0|10-10|912 345 6789|Asia/Tehran
IS|354!||7-9|611 1234|Atlantic/Reykjavik
IT|39!||9-10|312 345 6789|Europe/Rome
JE|44|0|10-10|7797 712345|Europe/Jersey
JM|1|1|10-10|876-210-1234|America/Jamaica
JO|962!|0|9-9|7 9012 3456|Asia/Amman
JP|81!|0|10-10|90-1234-5678|Asia/Tokyo
KE|254!|0|9-9|712 123456|Africa/Nairobi
KG|996!|0|9-9|700 123 456|Asia/Bishkek
KH|855!|0|8-9|91 234 567|Asia/Phnom_Penh
KI|686!|0|8-8|72001234|Pacific/Tarawa,Kanton,Kiritimati,Enderbury
KM|269!||7-7|321 23 45|Indian/Comoro
KN|1-869|1|10-10|869-765-2917|America/St_Kitts
KP|850!|0|10-10|192 123 4567|Asia/Pyongyang
KR|82!|0|9-10|10-2000-0000|Asia/Seoul
KW|965!||8-8|500 12345|Asia/Kuwait
KY|1-345|1|10-10|345-323-1234|America/Cayman
KZ|7-7|8|10-10|771 000 9998|Asia/Almaty,Qyzylorda,Qostanay,Aqtobe,Aqtau,Atyrau,Oral
LA|856!|0|9-10|20 23 123 456|Asia/Vientiane
LB|961!|0|7-8|71 123 456|Asia/Beirut
LC|1-758|1|10-10|758-284-5678|America/St_Lucia
LI|423!|0|7-9|660 234 567|Europe/Vaduz
LK|94!|0|9-9|71 234 5678|Asia/Colombo
LR|231!|0|7-9|77 012 3456|Africa/Monrovia
LS|266!||8-8|5012 3456|Africa/Maseru
LT|370!|0|8-8|612 34567|Europe/Vilnius
LU|352!||9-9|628 123 456|Europe/Luxembourg
LV|371!||8-8|21 234 567|Europe/Riga
LY|218!|0|9-9|91-2345678|Africa/Tripoli
MA|212!|0|9-9|6 50 12 34 56|Africa/Casablanca
MC|377!|0|8-9|6 12 34 56 78|Europe/Monaco
MD|373!|0|8-8|621 12 345|Europe/Chisinau,Tiraspol
ME|382!|0|8-8|60 123 456|Europe/Podgorica
MF|590|0|9-9|690 00 12 34|America/Marigot
MG|261!|0|9-9|32 12 345 67|Indian/Antananarivo
MH|692!|1|7-7|235-1234|Pacific/Majuro,Kwajalein
MK|389!|0|8-8|72 345 678|Europe/Skopje
ML|223!||8-8|65 01 23 45|Africa/Bamako,Timbuktu
MM|95!|0|7-10|9 212 3456|Asia/Yangon,Rangoon
MN|976!|0|8-8|8812 3456|Asia/Ulaanbaatar,Hovd,Ulan_Bator
MO|853!||8-8|6612 3456|Asia/Macau,Macao
MP|1-670|1|10-10|670-234-5678|Pacific/Saipan
MQ|596!|0|9-9|696 20 12 34|America/Martinique
MR|222!||8-8|22 12 34 56|Africa/Nouakchott
MS|1-664|1|10-10|664-492-3456|America/Montserrat
MT|356!||8-8|9696 1234|Europe/Malta
MU|230!||8-8|5251 2345|Indian/Mauritius
MV|960!||7-7|771-2345|Indian/Maldives
MW|265!|0|9-9|991 23 45 67|Africa/Blantyre
MX|52!||10-10|222 123 4567|America/Mexico_City,Cancun,Merida,Monterrey,Matamoros,Chihuahua,Ciudad_Juarez,Ojinaga,Mazatlan,Bahia_Banderas,Hermosillo,Tijuana,Ensenada,Santa_Isabel
MY|60!|0|9-10|12-345 6789|Asia/Kuala_Lumpur,Kuching
MZ|258!||9-9|82 123 4567|Africa/Maputo
NA|264!|0|9-9|81 123 4567|Africa/Windhoek
NC|687!||6-6|75.12.34|Pacific/Noumea
NE|227!||8-8|93 12 34 56|Africa/Niamey
NF|672!||6-6|3 81234|Pacific/Norfolk
NG|234!|0|10-10|802 123 4567|Africa/Lagos
NI|505!||8-8|8123 4567|America/Managua
NL|31!|0|9-11|6 12345678|Europe/Amsterdam
NO|47!||8-8|40 61 23 45|Europe/Oslo
NP|977!|0|10-10|984-1234567|Asia/Kathmandu,Katmandu
NR|674!||7-7|555 1234|Pacific/Nauru
NU|683!||4-7|888 4012|Pacific/Niue
NZ|64!|0|8-10|21 123 4567|Pacific/Auckland,Chatham
OM|968!||8-8|9212 3456|Asia/Muscat
PA|507!||7-8|6123-4567|America/Panama
PE|51!|0|9-9|912 345 678|America/Lima
PF|689!||8-8|87 12 34 56|Pacific/Tahiti,Marquesas,Gambier
PG|675!||8-8|7012 3456|Pacific/Port_Moresby,Bougainville
PH|63!|0|10-10|905 123 4567|Asia/Manila
PK|92!|0|10-10|301 2345678|Asia/Karachi
PL|48!||9-9|512 345 678|Europe/Warsaw
PM|508!|0|6-9|55 12 34|America/Miquelon
PR|1|1|10-10|787-234-5678|America/Puerto_Rico
PS|970!|0|9-9|599 123 456|Asia/Gaza,Hebron
PT|351!||9-9|912 345 678|Europe/Lisbon Atlantic/Madeira,Azores
PW|680!||7-7|620 1234|Pacific/Palau
PY|595!|0|9-9|961 456789|America/Asuncion
QA|974!||8-8|3312 3456|Asia/Qatar
RE|262!|0|9-9|692 12 34 56|Indian/Reunion
RO|40!|0|9-9|712 034 567|Europe/Bucharest
RS|381!|0|8-10|60 1234567|Europe/Belgrade
RU|7!|8|10-10|912 345-67-89|Europe/Kaliningrad,Moscow,Kirov,Volgograd,Astrakhan,Saratov,Ulyanovsk,Samara Asia/Yekaterinburg,Omsk,Novosibirsk,Barnaul,Tomsk,Novokuznetsk,Krasnoyarsk,Irkutsk,Chita,Yakutsk,Khandyga,Vladivostok,Ust-Nera,Magadan,Sakhalin,Srednekolymsk,Kamchatka,Anadyr
RW|250!|0|9-9|720 123 456|Africa/Kigali
SA|966!|0|9-9|51 234 5678|Asia/Riyadh
SB|677!||5-7|74 21234|Pacific/Guadalcanal
SC|248!||7-7|2 510 123|Indian/Mahe
SD|249!|0|9-9|91 123 1234|Africa/Khartoum
SE|46!|0|9-9|70 123 45 67|Europe/Stockholm
SG|65!||8-8|8123 4567|Asia/Singapore
SH|290!||5-5|51234|Atlantic/St_Helena
SI|386!|0|8-8|31 234 567|Europe/Ljubljana
SJ|47-79||8-8|41 23 45 67|Arctic/Longyearbyen Atlantic/Jan_Mayen
SK|421!|0|9-9|912 123 456|Europe/Bratislava
SL|232!|0|8-8|25 123456|Africa/Freetown
SM|378!||8-8|66 66 12 12|Europe/San_Marino
SN|221!||9-9|70 123 45 67|Africa/Dakar
SO|252!|0|7-9|7 1123456|Africa/Mogadishu
SR|597!||7-7|741-2345|America/Paramaribo
SS|211!|0|9-9|977 123 456|Africa/Juba
ST|239!||7-7|981 2345|Africa/Sao_Tome
SV|503!||8-8|7012 3456|America/El_Salvador
SX|1-721|1|10-10|721-520-5678|America/Lower_Princes
SY|963!|0|9-9|944 567 890|Asia/Damascus
SZ|268!||8-8|7612 3456|Africa/Mbabane
TC|1-649|1|10-10|649-231-1234|America/Grand_Turk
TD|235!||8-8|63 01 23 45|Africa/Ndjamena
TG|228!||8-8|90 11 23 45|Africa/Lome
TH|66!|0|9-9|81 234 5678|Asia/Bangkok
TJ|992!||9-9|91 712 3456|Asia/Dushanbe
TK|690!||4-7|7290|Pacific/Fakaofo
TL|670!||8-8|7721 2345|Asia/Dili
TM|993!|8|8-8|66 123456|Asia/Ashgabat
TN|216!||8-8|20 123 456|Africa/Tunis
TO|676!||7-7|771 5123|Pacific/Tongatapu
TR|90!|0|10-10|501 234 56 78|Europe/Istanbul Asia/Istanbul
TT|1-868|1|10-10|868-291-1234|America/Port_of_Spain
TV|688!||6-7|90 1234|Pacific/Funafuti
TW|886!|0|9-9|912 345 678|Asia/Taipei
TZ|255!|0|9-9|621 234 567|Africa/Dar_es_Salaam
UA|380!|0|9-9|50 123 4567|Europe/Simferopol,Kyiv,Kiev,Uzhgorod,Zaporozhye
UG|256!|0|9-9|712 345678|Africa/Kampala
US|1!|1|10-10|201-555-0123|America/New_York,Detroit,Kentucky/Louisville,Kentucky/Monticello,Indiana/Indianapolis,Indiana/Vincennes,Indiana/Winamac,Indiana/Marengo,Indiana/Petersburg,Indiana/Vevay,Chicago,Indiana/Tell_City,Indiana/Knox,Menominee,North_Dakota/Center,North_Dakota/New_Salem,North_Dakota/Beulah,Denver,Boise,Phoenix,Los_Angeles,Anchorage,Juneau,Sitka,Metlakatla,Yakutat,Nome,Adak,Indianapolis,Louisville,Fort_Wayne,Knox_IN,Shiprock,Atka Pacific/Honolulu
UY|598!|0|8-8|94 231 234|America/Montevideo
UZ|998!||9-9|91 234 56 78|Asia/Samarkand,Tashkent
VA|39-06698||9-10|312 345 6789|Europe/Vatican
VC|1-784|1|10-10|784-430-1234|America/St_Vincent
VE|58!|0|10-10|412-1234567|America/Caracas
VG|1-284|1|10-10|284-300-1234|America/Tortola
VI|1-340|1|10-10|340-642-1234|America/St_Thomas,Virgin
VN|84!|0|9-9|912 345 678|Asia/Ho_Chi_Minh,Saigon
VU|678!||7-7|591 2345|Pacific/Efate
WF|681!||6-6|82 12 34|Pacific/Wallis
WS|685!||7-10|72 12345|Pacific/Apia
XK|383!|0|8-8|43 201 234
YE|967!|0|9-9|712 345 678|Asia/Aden
YT|262|0|9-9|639 01 23 45|Indian/Mayotte
ZA|27!|0|5-9|71 123 4567|Africa/Johannesburg
ZM|260!|0|9-9|95 5123456|Africa/Lusaka
ZW|263!|0|9-9|71 234 5678|Africa/Harare`,te=In.split(`
`).map(e=>{let[t="",n="",i="",r="",o="",l=""]=e.split("|"),[d,p]=r.split("-").map(Number),[,a="",u="",m=""]=/^(\d+)(?:-(\d+))?(!?)$/.exec(n)??[];return{id:t,code:`+${a}`,main:m!=="",leading:u,trunk:i,shortest:d,longest:p,example:o,zones:l}}),ne=new Map(te.map(e=>[e.id,e]));function Ut(e){return ne.get(e)}function Ht(e){let t,n;try{t=new Intl.DisplayNames(e,{type:"region"}),n=new Intl.Collator(e)}catch{}return te.map(i=>({id:i.id,code:i.code,example:i.example,name:(t==null?void 0:t.of(i.id))??i.id})).sort((i,r)=>(n??new Intl.Collator).compare(i.name,r.name))}function Ae(e=[],t=Intl.DateTimeFormat().resolvedOptions().timeZone,n=navigator.languages){let i=e.flatMap(l=>{let d=`+${l.replace(/\D/g,"")}`;return te.filter(p=>p.id===l.toUpperCase()||p.code===d)}),r=i.length>0?i:te,o=r.find(l=>Rn(l,t));if(o)return o;for(let l of n){let d=Pn(l),p=r.find(a=>a.id===d);if(p)return p}return i.find(l=>l.main)??i[0]??ne.get("US")}function Rn(e,t){let n=t.indexOf("/");return n<0?!1:e.zones.split(" ").some(i=>{let r=i.indexOf("/");return i.slice(0,r)===t.slice(0,n)&&i.slice(r+1).split(",").includes(t.slice(n+1))})}function Pn(e){try{return new Intl.Locale(e).maximize().region}catch{return}}function j(e,t){let n=/^\s*(?:\+|00)(.*)$/s.exec(e);if(n){let r=n[1].replace(/\D/g,""),o=Nn(r,t);return o?{country:o,digits:Ft(o,r.slice(o.code.length-1))}:{country:t,digits:r}}let i=ne.get(t.id);return{country:t,digits:Ft(i,e.replace(/\D/g,""))}}function Nn(e,t){for(let n=1;n<=3;n++){let i=te.filter(r=>r.code===`+${e.slice(0,n)}`);if(i.length!==0)return i.find(r=>r.leading!==""&&e.startsWith(r.leading,n))??i.find(r=>r.id===t.id&&r.leading==="")??i.find(r=>r.main)}}function Ft(e,t){return e.trunk!==""&&t.startsWith(e.trunk)&&(e.trunk.startsWith("0")||t.length>e.shortest)?t.slice(e.trunk.length):t}function $t(e,t){let{country:n,digits:i}=j(e,t);return n.code+i}function Ve(e,t){let{country:n,digits:i}=j(e,t),r=ne.get(n.id);return i.length<r.shortest?"short":i.length>r.longest?"long":""}function ke(e,t){if(/^\s*(?:\+|00)/.test(e))return e;let n=e.replace(/\D/g,""),i=ne.get(t.id),r=i.trunk!==""&&n.startsWith(i.trunk)?i.trunk:"",o=r===""||r==="0"||n===r?r:`${r} `,l=r.length;for(let d of i.example.match(/\d+|\D+/g)??[]){if(l>=n.length)break;/\d/.test(d)?(o+=n.slice(l,l+d.length),l+=d.length):o+=d}return o+n.slice(l)}function Wt(e,t,n){let i=e.slice(0,t).replace(/\D/g,"").length,r=0;for(;r<n.length&&i>0;r++)/\d/.test(n[r])&&i--;return r}function jt(e){let t=s("country"),n=t.parentElement,i=Ht(f.locale),r=()=>{var a;return((a=i.find(u=>u.id===t.value))==null?void 0:a.name)??""},o=()=>Ut(t.value)??Ae();t.append(...Jt(i)),l(Ae());function l(a){t.value=a.id,s("country-code").textContent=a.code,e.placeholder=a.example}function d(){let a=j(e.value,o()).country;a.id!==t.value&&(l(a),M(r())),n.classList.toggle("country_code_blank",Vt(e.value))}function p(){!Vt(e.value)||Ve(e.value,o())||(e.value=ke(j(e.value,o()).digits,o()),d())}return t.addEventListener("change",()=>{let a=j(e.value,o()).digits;l(o()),e.value=ke(a,o()),d(),b(e,""),e.focus()}),e.addEventListener("input",a=>{let u=zt(e.value),m=e.selectionStart??u.length;u!==e.value&&(e.value=u),d();let h=ke(u,o());if(h!==e.value){e.value=h;let v=Wt(u,m,h);e.setSelectionRange(v,v)}/^insert(FromPaste|ReplacementText)$/.test(a.inputType)&&p()}),e.addEventListener("change",p),{read(){if(!/\d/.test(e.value)){b(e,c("phone.empty"));return}p();let a=Ve(e.value,o());if(a){b(e,c(a==="short"?"phone.short":"phone.long",{country:r()}));return}return $t(e.value,o())},fill(a){e.value=zt(a),d(),p()},fix(a){e.readOnly=a,t.disabled=a},configure(a){if(!a.countryCodes.length)return;let u=o(),m=i.filter(h=>a.countryCodes.includes(h.code));m.length&&(t.replaceChildren(qt(c("phone.countries.first"),m),qt(c("phone.countries.other"),i.filter(h=>!m.includes(h)))),l(e.value?u:Ae(a.countryCodes)))}}}function Jt(e){return e.map(t=>{let n=document.createElement("option");return n.value=t.id,n.textContent=`${t.name} (${t.code})`,n})}function qt(e,t){let n=document.createElement("optgroup");return n.label=e,n.append(...Jt(t)),n}function Vt(e){return/^\s*(?:\+|00)/.test(e)}function zt(e){return e.normalize("NFKC").replace(/^\s*tel:/i,"").replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,"").replace(new RegExp("\\p{Nd}","gu"),t=>{let n=0;for(;n<9&&new RegExp("\\p{Nd}","u").test(String.fromCodePoint(t.codePointAt(0)-n-1));)n++;return String(n)})}Kt(jt(C));})();
